"""A two-cloud estate on loopback, for the demo and the tests: emulators under the real clients."""
