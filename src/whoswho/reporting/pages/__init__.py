"""How a page is made: templates, tables, and letters that any machine can draw."""
