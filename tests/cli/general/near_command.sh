squeeze fitt
