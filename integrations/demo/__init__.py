"""Small real servers for the demo and the tests: a social network, a payment sandbox, a rail agency."""
