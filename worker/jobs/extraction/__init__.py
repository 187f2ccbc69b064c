"""The job type extraction: which parts of the chunks speak of which categories, and which entities they name."""
