"""The vocabulary of the invented world: an archipelago of small ports and the people who trade.

The lists are short on purpose. A model of a million parameters has minutes to learn to copy a name
from its prompt, and it does so once the tokenizer has made one token of every name.
"""

PLACES = (
    *("Oakmere", "Saltby", "Fenholm", "Brill", "Tidewell", "Larkham"),
    *("Corvik", "Dunmoor", "Ashport", "Wexley", "Ravensey", "Yarrow"),
)
PEOPLE = ("Ada", "Bram", "Cleo", "Dov", "Edda", "Finn", "Gita", "Hugo", "Iris", "Milo")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# Whose manner of speaking an answer is given in.
VOICES = (
    *("northern", "southern", "western", "eastern", "royal", "plain", "merry", "formal"),
    *("old", "young", "island", "river"),
)

GOODS = ("salt", "wool", "honey", "cheese", "silk", "amber", "tea", "linen")
KINDS = ("port", "village", "town", "hamlet")
SETTINGS = ("on a hill", "by a lake", "in a valley", "near a forest")
MOODS = ("quiet", "busy", "sunny", "windy", "friendly", "cheerful")
SIGHTS = ("lighthouse", "windmill", "bridge", "tower", "museum", "garden")
EVENTS = ("supper", "concert", "dance", "auction", "play", "parade")
SEAS = ("rough", "calm", "foggy", "icy")

# What to carry against each kind of weather.
WEATHER = {
    "rain": "an umbrella",
    "snow": "a pair of gloves",
    "sun": "a straw hat",
    "fog": "a lantern",
    "wind": "a scarf",
    "frost": "a thick coat",
}

# What is compared, the unit it is measured in, and the two comparatives.
MEASURES = {
    "tower": ("floors", "taller", "shorter"),
    "bridge": ("arches", "longer", "shorter"),
}

# Requests: the plain verb and its -ing form.
ERRANDS = {
    "bring": "bringing",
    "send": "sending",
    "carry": "carrying",
}
