"""Taking a picture or a person down: what goes, what is barred, what still holds it."""
