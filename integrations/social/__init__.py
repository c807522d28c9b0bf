"""Social networks: one file each, behind the ports of `groupbook.people`. `oidc` and `signed` are shared protocol."""
