"""`minillm list`: the files of configs/ that a command line can select, with one line each."""

from minillm.settings.groups import GROUP_NAMES, description, group_file, groups


def print_catalogue(name: str | None) -> None:
    """Print one group, such as `methods`, or all groups."""
    files = groups()
    for title in [name] if name else GROUP_NAMES:
        group = GROUP_NAMES[title]
        width = max(len(file) for file in files[group])
        print(f"{title} ({group}=NAME)")
        for file in files[group]:
            print(f"  {file:{width}}  {description(group_file(group, file))}")
        if not name:
            print()
