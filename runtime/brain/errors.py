"""What can be wrong with BRAiN's database, as errors that people read: one sentence each."""


class BrainError(Exception):
    """The base of all errors of `runtime.brain` that a setting or an operator can cause."""


class DatabaseUrlError(BrainError):
    """`DATABASE_URL` isn't an address of a PostgreSQL database.

    Attributes:
        problem: What is wrong with it, without its password.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"DATABASE_URL {problem}; expected "
            "postgresql+asyncpg://user:password@host:port/database."
        )
        self.problem = problem


class DatabaseUnreachableError(BrainError):
    """The database doesn't take a connection.

    Attributes:
        address: Where it was looked for, without user and password.
        problem: What happened there.
    """

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(
            f"The database at {address} can't be used: {problem}; "
            "check DATABASE_URL and whether PostgreSQL runs there."
        )
        self.address = address
        self.problem = problem


class DatabaseRefusedError(BrainError):
    """The database doesn't do what it was asked for.

    Attributes:
        address: Where it is, without user and password.
        problem: Its own words.
        state: Its code of five characters, None if it gave none.
    """

    def __init__(self, address: str, problem: str, state: str | None) -> None:
        code = f" (SQLSTATE {state})" if state else ""
        super().__init__(f"The database at {address} refused: {problem}{code}.")
        self.address = address
        self.problem = problem
        self.state = state


class SchemaError(BrainError):
    """The database isn't as the handlers need it.

    Attributes:
        table: The table in question.
        column: The column in question, or None when the whole table is missing.
        problem: What is wrong with it.
    """

    def __init__(self, table: str, column: str | None, problem: str) -> None:
        what = f"table {table}" if column is None else f"column {table}.{column}"
        super().__init__(
            f"BRAiN's database: {what} {problem}; run the migrations of BRAiN's backend "
            "on the database of DATABASE_URL."
        )
        self.table = table
        self.column = column
        self.problem = problem
