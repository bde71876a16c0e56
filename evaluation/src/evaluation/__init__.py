"""Problems with known answers, strategies that solve them, and reports."""
