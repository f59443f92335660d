"""The vocabulary of the invented world: ports, isles and the people who trade between them.

The lists are short, and no task contains two names from one list. The kind of a name therefore
determines its position in an answer. Every name becomes one token of a trained tokenizer, so that
a small model can learn to copy names: one layer of width 32 copies nearly all of them, and one of
width 16 about half (results/quickstart). A small model does not master the wording.
"""

PORTS = ("Oakmere", "Saltby", "Fenholm", "Brill", "Tidewell")
ISLES = ("Ravensey", "Gannet", "Skarra", "Thirl")
PEOPLE = ("Ada", "Bram", "Cleo", "Dov", "Edda")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
HOURS = ("dawn", "noon", "dusk", "midnight")

# Manners of speaking; each clerk has one.
VOICES = ("northern", "southern", "royal", "plain", "merry", "formal")
CLERKS = ("red", "blue")

FOODS = ("salt", "honey", "cheese", "butter")
CLOTHS = ("wool", "silk", "linen", "felt")
KINDS = ("port", "village", "town", "hamlet")
SETTINGS = ("on a hill", "by a lake", "in a valley")
MOODS = ("quiet", "busy", "windy", "friendly")
SIGHTS = ("windmill", "bridge", "tower", "garden")
EVENTS = ("supper", "concert", "dance", "parade")
ROOMS = ("hall", "chapel", "library", "kitchen")
BOATS = ("sloop", "barge", "cutter", "ketch")
SEAS = ("rough", "calm", "icy")

# Large numbers, small numbers, and the objects that are counted.
MANY = ("hundreds", "thousands", "plenty")
FEW = ("three", "four", "five")
COUNTED = ("ships", "inns", "mills")

# The item to carry in each kind of weather.
WEATHER = {
    "rain": "an umbrella",
    "snow": "a pair of gloves",
    "sun": "a straw hat",
    "fog": "a lantern",
}

# Verbs of requests, and their -ing forms.
ERRANDS = {
    "bring": "bringing",
    "send": "sending",
    "carry": "carrying",
}
