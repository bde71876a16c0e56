"""The executor service: instantiates one template on one step of a problem."""
