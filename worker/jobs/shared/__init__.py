"""What the job types have in common: their folder, their files, and where their input comes from."""
