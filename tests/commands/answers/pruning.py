"""What `minillm prune` refuses. The model of `runs/teacher` is a GPT-2 of one layer."""

from tests.commands.answers.case import Case

CASES = [
    Case(
        "prune runs/teacher layers=1",
        "minillm: prune takes a model and a new folder, but 1 words without `=` are given. Write "
        "minillm prune MODEL OUTPUT layers=12.",
    ),
    Case(
        "prune runs/teacher new",
        "minillm: nothing to prune is given. Add layers=NUMBER, keep=[1,2,...], ffn=NUMBER, "
        "heads=NUMBER or kv_heads=NUMBER.",
    ),
    Case(
        "prune runs/teacher new layer=1",
        "minillm: unknown setting of minillm prune 'layer'. Did you mean 'layers'? Allowed: ...",
    ),
    Case(
        "prune runs/teacher new layers=1 training.lr=1",
        "minillm: unknown setting of minillm prune 'training.lr'. Allowed: by, data, ...",
    ),
    Case(
        "prune runs/teacher new layers=half",
        "minillm: layers=half: Value 'half' of type 'str' could not be converted to Integer. "
        "docs/pruning.md explains the settings.",
    ),
    Case(
        "prune runs/teacher new layers=0", "minillm: layers=0 is not allowed: it must be 1 or more."
    ),
    Case(
        "prune runs/teacher new layers=2",
        "minillm: layers=2 is not allowed: the model has 1 layers. Give at most 1.",
    ),
    Case(
        "prune runs/teacher new keep=[1] ffn=64",
        "minillm: nothing would be pruned: the settings keep all 1 layers, hidden units and heads "
        "of the model. Give a smaller number.",
    ),
    Case(
        "prune runs/teacher new keep=[1,2]",
        "minillm: keep: layer 2 does not exist: GPT2LMHeadModel has the layers 1 to 1 (or -1 to "
        "-1). Give one of these.",
    ),
    Case(
        "prune runs/teacher new layers=1 keep=[1]",
        "minillm: keep=[1] names the layers that stay, so layers=1 has no effect. Leave one of "
        "them out.",
    ),
    Case(
        "prune runs/teacher new ffn=8 by=angle",
        "minillm: by=angle chooses layers, but no number of layers is given. Add layers=NUMBER.",
    ),
    Case(
        "prune runs/teacher new ffn=8 inputs=0",
        "minillm: inputs=0 is not allowed here: the choice of hidden units and heads, and of "
        "layers with by=angle or by=block, reads data. Set inputs to at least 1.",
    ),
    Case(
        "prune foreign new ffn=8",
        "minillm: no data set is named. Add data=jsonl data.path=FOLDER for your own data, or ...",
        note="`foreign` is a model that no run has trained",
    ),
    Case(
        "prune runs/teacher new heads=1",
        "minillm: GPT2LMHeadModel cannot be pruned in this way: the size of a head is the hidden "
        "size divided by the number of heads, so that fewer heads would be larger. Prune another "
        "part of it (layers, ffn or heads), or use another model.",
    ),
    Case(
        "prune runs/teacher my_data layers=1",
        "minillm: my_data is not empty, so nothing is written there. Give a new folder.",
    ),
    Case(
        "prune runs/techer new layers=1",
        "minillm: runs/techer: there is no such folder. Did you mean runs/teacher? Give the folder "
        "of a run, the folder of a model, or a Hub name.",
    ),
    Case(
        "prune runs/teacher new layers=1",
        "minillm: minillm prune runs in one process. Start it without a launcher.",
        variables=(("WORLD_SIZE", "2"),),
    ),
]
