"""Each Lua script with a line broken: the named test must notice.

It is the evidence that the tests of the brokers look at what the scripts do. Each row is a
script, a piece of it, what stands there instead, and the test that fails then.
"""

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import anyio
import pytest

from tests.brokers import test_conformance as suite
from tests.brokers import test_conformance_delays as delays
from tests.brokers import test_conformance_notes as notes
from tests.brokers import test_conformance_orders as orders
from tests.brokers import test_conformance_recovery as recovery
from tests.brokers import test_conformance_recurring as recurring
from tests.brokers import test_faults as faults
from tests.brokers import test_redis_only as redis_only
from tests.brokers.conftest import real_rig
from tests.brokers.faults import breaking, changed
from tests.brokers.sides import Names
from tests.servers import Valkey

Check = Callable[..., Any]

cancels: Final = orders.test_a_cancelled_tasks_end_is_silent
paused: Final = orders.test_nothing_is_taken_from_a_paused_queue

_UNDO_ANSWER: Final = "if key then redis.pcall('DEL', key) end"

MUTANTS: Final[tuple[tuple[str, str, str, Check], ...]] = (
    (
        "beat",
        "redis.call('GET', KEYS[1]) == ARGV[2]",
        "true",
        suite.test_equal_worker_ids_do_not_mix,
    ),
    ("beat", ", 'PX', ARGV[3]", "", redis_only.test_only_the_protocols_keys_last),
    (
        "forget",
        " or redis.call('EXISTS', KEYS[3]) == 1",
        "",
        recovery.test_who_owns_something_is_not_forgotten,
    ),
    (
        "forget",
        "redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or ",
        "",
        recovery.test_who_owns_something_is_not_forgotten,
    ),
    (
        "leave",
        "if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end",
        "",
        suite.test_leaving_with_tasks_keeps_them_findable,
    ),
    (
        "leave",
        "redis.call('HDEL', KEYS[1], ARGV[1])",
        "",
        suite.test_joining_takes_out_a_lease_and_leaving_gives_it_back,
    ),
    (
        "leave",
        "redis.call('ZREM', KEYS[2], ARGV[1])",
        "",
        suite.test_joining_takes_out_a_lease_and_leaving_gives_it_back,
    ),
    (
        "look",
        "redis.call('ZCARD', KEYS[2]) * 2 ~= #leases",
        "false",
        recovery.test_a_look_shows_pulses_and_those_without_one,
    ),
    ("look", "not leased[holder]", "true", recovery.test_a_look_shows_pulses_and_those_without_one),
    (
        "look",
        "redis.call('EXISTS', ARGV[1] .. holder)",
        "1",
        recovery.test_a_look_shows_pulses_and_those_without_one,
    ),
    (
        "reclaim",
        "if lease ~= ARGV[2] then return {0, 0} end",
        "",
        recovery.test_a_holder_that_lives_is_not_reclaimed,
    ),
    (
        "reclaim",
        "'RIGHT', 'LEFT'",
        "'RIGHT', 'RIGHT'",
        recovery.test_a_dead_holders_tasks_go_to_the_head_in_order,
    ),
    (
        "reclaim",
        "if item.body ~= item.raw then redis.call('LSET', KEYS[2], -1, item.body) end",
        "",
        recovery.test_a_dead_holders_tasks_go_to_the_head_in_order,
    ),
    (
        "reclaim",
        "if lease ~= '' then redis.call('HDEL', KEYS[3], ARGV[1]) end",
        "",
        recovery.test_a_dead_holders_tasks_go_to_the_head_in_order,
    ),
    (
        "reclaim",
        "if redis.call('LINDEX', KEYS[2], -1) ~= item.raw then return {recovered, trim()} end",
        "",
        recovery.test_a_list_that_has_grown_is_left_alone,
    ),
    (
        "reclaim",
        "redis.pcall('PUBLISH', item.key, item.answer)",
        "",
        recovery.test_poison_and_what_cannot_be_read_are_buried,
    ),
    (
        "reclaim",
        "if item.key then redis.pcall('HDEL', KEYS[5], string.sub(item.key, ARGV[6], ARGV[7])) end",
        "",
        notes.test_a_reclaimed_task_keeps_its_state_and_a_buried_one_does_not,
    ),
    ("reclaim", ", 'EX', ARGV[3]", "", redis_only.test_a_buried_tasks_answer_expires),
    ("reclaim", "redis.pcall('LSET', KEYS[2], -1, item.raw)", "", faults.reclaim),
    ("reclaim", "redis.pcall('XDEL', KEYS[4], letter)", "", faults.reclaim),
    ("reclaim", "if item.key then redis.pcall('DEL', item.key) end", "", faults.reclaim),
    (
        "promote",
        "if leader and leader ~= ARGV[1] then",
        "if false then",
        delays.test_one_of_all_members_leads,
    ),
    ("promote", ", 'LIMIT', 0, ARGV[3]", "", delays.test_what_is_due_first_goes_first),
    ("promote", "'-inf', now", "'-inf', '+inf'", delays.test_what_is_not_due_stays),
    ("promote", "'RPUSH'", "'LPUSH'", delays.test_a_delayed_task_comes_back_at_the_tail),
    ("promote", "redis.pcall('RPOP', KEYS[2])", "", faults.promote),
    ("promote", ", 'PX', ARGV[2]", "", redis_only.test_a_lead_lapses),
    (
        "promote",
        "#!lua flags=allow-oom",
        "#!lua",
        redis_only.test_a_full_server_moves_what_is_due,
    ),
    (
        "fire",
        "if before ~= ARGV[2] then return 0 end",
        "",
        recurring.test_who_finds_it_unfired_fires,
    ),
    ("fire", "'RPUSH'", "'LPUSH'", recurring.test_who_finds_it_unfired_fires),
    ("fire", "#ARGV > 3", "false", recurring.test_a_waiting_member_gets_what_is_fired),
    (
        "fire",
        "string.format('%s %.0f', ARGV[3], now)",
        "noted or (ARGV[3] .. ' 0')",
        recurring.test_firing_keeps_a_name,
    ),
    ("fire", "for _ = 4, #ARGV do redis.pcall('RPOP', KEYS[2]) end", "", faults.fire),
    ("fire", "#!lua", "#!lua flags=allow-oom", redis_only.test_a_full_server_refuses_firings),
    ("fire", "or '-1'", "or '0'", redis_only.test_a_note_that_nobody_can_read_is_none),
    (
        "recurring",
        "if asked[name] then",
        "if false then",
        recurring.test_a_look_tells_how_far_each_was_fired,
    ),
    (
        "recurring",
        "redis.call('HSET', KEYS[1], name, string.format('%s %.0f', upto, now))",
        "",
        recurring.test_what_nobody_declares_is_forgotten,
    ),
    (
        "recurring",
        "redis.call('HDEL', KEYS[1], name)",
        "",
        recurring.test_what_nobody_declares_is_forgotten,
    ),
    ("recurring", "age > kept", "age ~= 0", recurring.test_what_nobody_declares_is_forgotten),
    (
        "recurring",
        "math.abs(age)",
        "age",
        recurring.test_a_clock_that_is_set_back_forgets_nothing,
    ),
    ("recurring", "math.abs(age) > kept / 10", "true", redis_only.test_a_look_seldom_writes),
    (
        "recurring",
        "#!lua flags=allow-oom",
        "#!lua",
        redis_only.test_a_full_server_refuses_firings,
    ),
    (
        "release",
        "for i = #ARGV - 1, 1, -2 do",
        "for i = 1, #ARGV, 2 do",
        suite.test_released_tasks_go_to_the_head_in_order,
    ),
    ("release", "'LPUSH'", "'RPUSH'", suite.test_released_tasks_go_to_the_head_in_order),
    (
        "release",
        "if redis.call('LPOS', KEYS[2], ARGV[i], 'RANK', -1) then",
        "if true then",
        suite.test_released_tasks_go_to_the_head_in_order,
    ),
    (
        "release",
        "'LREM', KEYS[2], -1",
        "'LREM', KEYS[2], 1",
        suite.test_of_equal_bodies_the_last_is_released,
    ),
    ("release", "redis.pcall('LPOP', KEYS[1])", "", faults.release),
    (
        "release",
        "ARGV[i + 1] == '' and ARGV[i] or ARGV[i + 1]",
        "ARGV[i]",
        notes.test_a_task_goes_back_in_a_body_that_tells_of_its_state,
    ),
    (
        "save",
        "if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end",
        "",
        notes.test_who_lost_a_task_saves_nothing,
    ),
    ("save", "return number + 1", "return number", notes.test_a_held_tasks_state_is_kept),
    (
        "save",
        "if state == ARGV[3] then return number end",
        "",
        notes.test_a_held_tasks_state_is_kept,
    ),
    (
        "save",
        "redis.call('HSET', KEYS[2], ARGV[2], string.format('%d ', number + 1) .. ARGV[3])",
        "",
        notes.test_a_held_tasks_state_is_kept,
    ),
    (
        "save",
        "tonumber(number) or 0",
        "tonumber(number)",
        notes.test_what_somebody_else_wrote_is_no_state,
    ),
    (
        "saved_numbers",
        "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return numbers end",
        "",
        notes.test_states_key_of_another_type_holds_up_nothing,
    ),
    (
        "saved_numbers",
        "saved and tonumber(string.match(saved, '^(%d+) ')) or 0",
        "1",
        notes.test_a_held_tasks_state_is_kept,
    ),
    (
        "report",
        "redis.pcall('GET', key) == ARGV[i + 2]",
        "true",
        notes.test_progress_is_stored_and_removed,
    ),
    (
        "report",
        "if i <= stored then",
        "if true then",
        notes.test_progress_is_stored_and_removed,
    ),
    ("report", ", 'PX', ARGV[1]", "", notes.test_a_full_server_keeps_states_and_progress),
    (
        "renew",
        "redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])",
        "",
        suite.test_leaving_with_tasks_keeps_them_findable,
    ),
    (
        "renew",
        "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])",
        "",
        suite.test_joining_takes_out_a_lease_and_leaving_gives_it_back,
    ),
    ("renew", "return known", "return 1", faults.renew),
    (
        "settle",
        "elseif not place then\n    status = 'S'\n",
        "",
        suite.test_what_is_not_held_is_stale,
    ),
    (
        "settle",
        ">= tonumber(ARGV[1])",
        "> tonumber(ARGV[1])",
        suite.test_a_batch_that_comes_again_does_nothing,
    ),
    (
        "settle",
        "redis.pcall('LREM', KEYS[1], 1, raw)",
        "redis.pcall('LREM', KEYS[1], 0, raw)",
        suite.test_equal_bodies_are_settled_one_by_one,
    ),
    (
        "settle",
        "heard = redis.pcall('PUBLISH', one[1], one[2])",
        "",
        suite.test_an_answer_is_stored_and_published,
    ),
    (
        "settle",
        "redis.pcall('HDEL', KEYS[5], string.sub(name, ARGV[6], ARGV[7]))",
        "0",
        notes.test_a_state_goes_with_the_answer,
    ),
    (
        "settle",
        "    status = 'S'\n",
        "    status = 'S'\n    forget(name)\n",
        notes.test_a_stale_answer_takes_no_state_along,
    ),
    ("settle", ", 'EX', ARGV[2]", "", redis_only.test_only_the_protocols_keys_last),
    ("settle", ", 'EX', ARGV[4]", "", redis_only.test_only_the_protocols_keys_last),
    (
        "settle",
        "elseif not place then\n    status = 'S'\n",
        "",
        delays.test_what_is_not_held_is_not_delayed,
    ),
    ("settle", "due = due + now", "", delays.test_what_is_not_due_stays),
    ("settle", "redis.pcall('ZREM', KEYS[4], body)", "", faults.settle_delayed),
    ("settle", _UNDO_ANSWER, "", faults.settle),
    ("settle", "if letter then redis.pcall('XDEL', KEYS[3], letter) end", "", faults.settle),
    (
        "settle",
        "if marks and name then status = drop(raw, name) end",
        "",
        orders.test_a_cancelled_tasks_end_is_silent,
    ),
    (
        "settle",
        "local unmarked = redis.pcall('ZREM', KEYS[6], name)",
        "local unmarked = 1",
        cancels,
    ),
    ("settle", "redis.pcall('ZADD', KEYS[6], since, name)", "", faults.settle_cancelled),
    ("settle", "'MAXLEN', ARGV[5]", "'MAXLEN', 9", orders.test_the_oldest_dead_letters_make_room),
    (
        "settle",
        "redis.pcall('INCRBY', KEYS[7], gone)",
        "",
        orders.test_the_oldest_dead_letters_make_room,
    ),
    (
        "reclaim",
        "local dropped = marks and item.key and drop(item)",
        "local dropped",
        orders.test_a_cancelled_poison_pill_is_dropped,
    ),
    ("reclaim", "redis.pcall('ZADD', KEYS[6], since, item.key)", "", faults.reclaim_cancelled),
    ("reclaim", "'MAXLEN', ARGV[5]", "'MAXLEN', 9", orders.test_the_oldest_dead_letters_make_room),
    (
        "cancel",
        "if redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 2 end",
        "",
        orders.test_an_order_is_not_forgotten_soon,
    ),
    (
        "cancel",
        "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end",
        "",
        orders.test_an_answered_task_is_not_cancelled,
    ),
    ("cancel", "redis.pcall('ZREM', KEYS[2], KEYS[1])", "", faults.cancel),
    (
        "cancel",
        "redis.pcall('PUBLISH', KEYS[1], ARGV[1])",
        "",
        orders.test_a_cancelled_task_is_answered_at_once,
    ),
    ("cancel", ", 'EX', ARGV[2]", "", redis_only.test_only_the_protocols_keys_last),
    ("cancel", "now - tonumber(ARGV[4])", "0", redis_only.test_old_marks_are_forgotten),
    (
        "orders",
        "redis.call('EXISTS', KEYS[i])",
        "0",
        orders.test_nothing_is_taken_from_a_paused_queue,
    ),
    (
        "orders",
        "redis.call('ZSCORE', KEYS[1], name) and 1 or 0",
        "1",
        orders.test_who_takes_learns_what_was_cancelled,
    ),
    ("pause", "return redis.call('DEL', KEYS[1])", "return 1", paused),
    ("pause", "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end", "", paused),
    ("take", "if redis.call('EXISTS', KEYS[5]) == 1 then return reply end", "", paused),
    (
        "take",
        "redis.call('TYPE', KEYS[4]).ok == 'zset' and 1 or 0",
        "0",
        orders.test_who_takes_learns_what_was_cancelled,
    ),
    (
        "take",
        "redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0",
        "false",
        suite.test_a_lost_lease_is_noticed,
    ),
    (
        "take",
        "'LEFT', 'RIGHT'",
        "'RIGHT', 'RIGHT'",
        suite.test_tasks_are_taken_in_order_up_to_the_limit,
    ),
    ("take", "if bytes >= most then break end", "", suite.test_a_take_ends_at_8_mib),
    *(
        (name, "#!lua flags=allow-oom", "#!lua", redis_only.test_a_full_server_is_drained)
        for name in ("beat", "forget", "leave", "reclaim", "release", "renew", "settle", "take")
    ),
    *(
        (name, "#!lua flags=allow-oom", "#!lua", redis_only.test_a_full_server_takes_orders)
        for name in ("cancel", "pause")
    ),
    *(
        (
            name,
            "#!lua flags=allow-oom",
            "#!lua",
            notes.test_a_full_server_keeps_states_and_progress,
        )
        for name in ("save", "report")
    ),
)


@pytest.mark.parametrize(
    ("name", "line", "into", "check"),
    MUTANTS,
    ids=[f"{name}-{check.__name__}" for name, _, _, check in MUTANTS],
)
def test_a_broken_line_is_noticed(
    valkey_server: Valkey, name: str, line: str, into: str, check: Check
) -> None:
    """The test fails with the line changed, having passed without that in its own place."""
    with breaking(changed(name, line, into)):
        assert _complaint(valkey_server, check), f"{name}.lua: nobody misses {line!r}"


def _complaint(server: Valkey, check: Check) -> BaseException | None:
    try:
        if check in faults.CALLS:
            faults.test_an_error_at_any_call_loses_and_doubles_nothing(server, check)
        else:
            names = Names(("q", "p"), [f"t{number}" for number in range(10)])
            with closing(real_rig(server, names)) as rigs:
                anyio.run(check, next(rigs))
    except (Exception, BaseExceptionGroup, pytest.fail.Exception) as error:  # noqa: BLE001 - a test may fail in any way
        return error
    return None
