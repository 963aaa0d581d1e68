"""What a report is made of: statistics of run folders, tables, figures, and a page of them all."""
