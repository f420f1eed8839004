"""Rating competitions: who would rate what how, from ids, time, and what is known about users and items."""
