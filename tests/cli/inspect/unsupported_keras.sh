# Everything that cannot be run is named, with the layer and what to do.
squeeze inspect unsupported.h5
