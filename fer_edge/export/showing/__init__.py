"""What an export found, as tables, a page, plots and a model card."""
