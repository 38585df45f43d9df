"""Documents that people keep: invoices as PDF."""
