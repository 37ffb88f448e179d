"""What is trained on: data, networks and the module that trains them."""
