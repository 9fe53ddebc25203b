"""The stream of life cycle events, `brain:events:workers`, for who follows the pool from outside.

| module | what is there |
|---|---|
| `records` | what is written of each moment: plain functions from outcomes to fields |
| `outbox` | the worker's `Listener`: keeps records until they are sent, as many as it may |
| `sender` | sends them, several times a second, and never holds up a task |

| if | then |
|---|---|
| the server is out of reach | records wait, the newest 10,000 of them; tasks go on |
| the server refuses them (full, forbidden) | they are dropped and counted, which is said once |
| a reply is lost | the records of that write are dropped: each is there once at most |
| the worker is killed | what wasn't sent is lost; its tasks aren't |
"""
