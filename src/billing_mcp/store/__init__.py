"""The database: tables, engine, transactions and the posting engine. Rows never leave it."""
