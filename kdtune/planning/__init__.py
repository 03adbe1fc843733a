"""The plan of a study: which trials it runs, with which resources, within which budget."""
