"""Budgets, and what is measured to hold against them."""
