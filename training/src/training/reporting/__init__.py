"""What a run has reached, told to people: scores, model cards, reports and the page made of them."""
