"""Takes a run of a study; gives its merged model as a folder that stands alone."""
