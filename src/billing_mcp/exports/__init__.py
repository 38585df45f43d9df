"""Books for other programs: CSV for spreadsheets, Beancount for bookkeeping. docs/exports.md describes both."""
