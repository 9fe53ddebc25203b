"""BRAiN's own handlers, on BRAiN's own tables.

| file | what it is |
|---|---|
| `handlers` | `brain_handlers(services)`: which function serves which task type |
| `payloads` | the tasks' payloads, typed |
| `spawn_agent` | adds one agent to a cluster, once per task |
| `scale_cluster`, `scaling`, `definitions` | to a number of workers; who comes and goes, as what |
| `delegate_task`, `choosing` | gives a mission to an agent, once per task; which agent |
| `missions`, `mission_watch` | missions end: their agents are freed, once; hearing of it |
| `marks` | what the pool notes in `config` |
| `health_check`, `health` | looks at a cluster; the formula of its score |
| `collect_metrics` | measures a cluster and its pool, one row per task |
| `probes` | asks the servers whether they answer, and how fast |
| `pool_figures` | what queues and heartbeats tell of the pool |
| `chat`, `chat_prompt`, `chat_memory` | says something to an agent: its prompt, its memory |
| `ollama`, `ollama_*`, `http` | a client of Ollama; what its settings mean; HTTP clients |
| `memory`, `memory_entries` | earlier exchanges, in Qdrant |
| `checks` | what a payload's texts and JSON may hold, before PostgreSQL refuses it |
| `clusters` | finding and locking a cluster; who counts as alive |
| `identity` | ids of agents and missions, derived from their task's |
| `services` | what the composition root hands to the handlers |
| `database` | URL, engine, pool, transactions |
| `tables`, `schema` | the contract's tables; creating them in an empty database, checking others |
| `errors` | what a setting or an operator can cause, in one sentence each |

A cluster's row is the lock of all that belongs to it: whoever changes its agents or counters
first takes `SELECT ... FOR NO KEY UPDATE` on it, and holds it for one short transaction. Who takes
an agent's row too does so after it. `delegate_task` alone takes just the agent's: it makes an agent
busy, which no counter shows, and so delegations don't wait for each other.

| if this dies here | then that |
|---|---|
| the worker, before the commit | nothing happened; the redelivered task does it |
| the worker, after the commit | the redelivered task finds what it did and gives the same answer |
| the worker, when a mission has ended | another one's watch frees the agent, at its next look |
| the database | lost connections are replaced; the task is tried again until it is back |
| Ollama | the chat is tried again; a missing model is a reject |
| Qdrant | the chat is answered without memory, and says so |
| Redis | `health_check` lists it and lowers the score; its answer waits for the broker |
"""
