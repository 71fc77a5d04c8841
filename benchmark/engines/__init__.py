"""Where jobs run: worker processes of this machine, a dask cluster, or nowhere but in time."""
