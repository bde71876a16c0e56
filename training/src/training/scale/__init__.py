"""Large models before they are paid for: their architecture, memory and time on paper, a dry run."""
