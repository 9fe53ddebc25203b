"""The Redis broker: keys, scripts, connections, leases."""
