"""Plans a network as fixed-size crop tiles and writes bundles. Needs torch."""
