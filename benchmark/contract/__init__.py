"""The contract of attacks, and of what else a plug-in may declare, as checks anyone can run."""
