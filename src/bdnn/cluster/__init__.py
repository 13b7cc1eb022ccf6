"""Work on clusters of Dask; `distributed` is imported when it is used."""
