"""Rules of the stand-in ICAT for a test: what the service's account may do, and nothing else."""

from collections import defaultdict


def grant(root, rights):
    """Let the service's account have these rights, and nobody any other; gives them back as they were asked for."""
    root.deleteMany(root.search("SELECT r FROM Rule r"))
    group = root.assertedSearch("SELECT g FROM Grouping g WHERE g.name = 'ingesters'")[0]
    by_letters = defaultdict(list)
    for entity, letters in rights.items():
        by_letters[letters].append(entity)
    for letters, entities in by_letters.items():
        root.createRules(letters, entities, group)


def joined(*parts):
    """Put rights together."""
    entities = dict.fromkeys(entity for part in parts for entity in part)
    return {
        e: "".join(letter for letter in "CRUD" if any(letter in part.get(e, "") for part in parts)) for e in entities
    }
