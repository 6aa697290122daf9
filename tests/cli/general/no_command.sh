squeeze
