"""The vocabulary of the invented world: ports, isles and the people who trade between them.

The lists are short, and no task names two things from one list. Which name goes where in an answer
is then told by its kind, so that even a very small model soon copies names, once the tokenizer has
made one token of every name; what it can't master is the wording.
"""

PORTS = ("Oakmere", "Saltby", "Fenholm", "Brill", "Tidewell")
ISLES = ("Ravensey", "Gannet", "Skarra", "Thirl")
PEOPLE = ("Ada", "Bram", "Cleo", "Dov", "Edda")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
HOURS = ("dawn", "noon", "dusk", "midnight")

# Whose manner of speaking an answer is given in.
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

# Many and few of what is counted.
MANY = ("hundreds", "thousands", "plenty")
FEW = ("three", "four", "five")
COUNTED = ("ships", "inns", "mills")

# What to carry against each kind of weather.
WEATHER = {
    "rain": "an umbrella",
    "snow": "a pair of gloves",
    "sun": "a straw hat",
    "fog": "a lantern",
}

# Requests: the plain verb and its -ing form.
ERRANDS = {
    "bring": "bringing",
    "send": "sending",
    "carry": "carrying",
}
