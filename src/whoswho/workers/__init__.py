"""One function over many pictures: in processes of this machine, or on a cluster's workers."""
