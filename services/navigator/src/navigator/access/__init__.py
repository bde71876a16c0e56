"""Who may ask, for how much: API keys, tenants, limits, and admission while there is room."""
