"""Studies: several runs that answer one question together (`study`), the pages and plots of what they stored (`pages`),
and libraries of other sizes to measure on (`libraries`)."""
