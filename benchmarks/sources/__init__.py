"""Where rows come from: the hub, files, and the material that generators share."""
