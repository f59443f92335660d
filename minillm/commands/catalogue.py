"""`minillm list`: the files of configs/ that a command line can select, with one line each."""

from minillm.settings.groups import GROUP_NAMES, description, files_of, group_file


def print_catalogue(name: str | None) -> None:
    """Print one group, such as `methods`, or all groups."""
    for title in [name] if name else GROUP_NAMES:
        group = GROUP_NAMES[title]
        files = files_of(group)
        width = max(map(len, files))
        print(f"{title} ({group}=NAME)")
        for file in files:
            print(f"  {file:{width}}  {description(group_file(group, file))}")
        if not name:
            print()
