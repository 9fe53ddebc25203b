"""BRAiN's own handlers, on BRAiN's own tables.

| file | what it is |
|---|---|
| `handlers` | `brain_handlers(services)`: which function serves which task type |
| `payloads` | the tasks' payloads, typed |
| `spawn_agent` | adds one agent to a cluster, once per task |
| `health_check`, `health` | looks at a cluster; the formula of its score |
| `collect_metrics` | measures a cluster and its pool, one row per task |
| `probes` | asks the servers whether they answer, and how fast |
| `pool_figures` | what queues and heartbeats tell of the pool |
| `chat`, `chat_prompt`, `chat_memory` | says something to an agent: its prompt, its memory |
| `ollama`, `ollama_*`, `http` | a client of Ollama; what its settings mean; HTTP clients |
| `memory`, `memory_entries` | earlier exchanges, in Qdrant |
| `checks` | what a payload's texts and JSON may hold, before PostgreSQL refuses it |
| `clusters` | finding and locking a cluster; who counts as alive |
| `identity` | an agent's ids, derived from its task's |
| `services` | what the composition root hands to the handlers |
| `database` | URL, engine, pool, transactions |
| `tables`, `schema` | the contract's tables; creating them in an empty database, checking others |
| `errors` | what a setting or an operator can cause, in one sentence each |

A cluster's row is the lock of all that belongs to it: whoever changes its agents or counters
first takes `SELECT ... FOR NO KEY UPDATE` on it, and holds it for one short transaction.

| if this dies here | then that |
|---|---|
| the worker, before the commit | nothing happened; the redelivered task does it |
| the worker, after the commit | the redelivered task finds its agent and gives the same answer |
| the database | the task fails, saying where the database was looked for |
| Ollama | the chat is tried again; a missing model is a reject |
| Qdrant | the chat is answered without memory, and says so |
| Redis | `health_check` lists it and lowers the score; its answer waits for the broker |
"""
