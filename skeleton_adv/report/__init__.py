"""Records -> tables and figures. No torch."""
