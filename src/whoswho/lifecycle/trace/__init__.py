"""`whoswho trace`: where a version, a run or a picture came from, and how to make it again."""
