"""What makes a template and a library good: machine checks, duplicates, contamination, coverage."""
