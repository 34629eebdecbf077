"""What the shop's customers are called and where they live."""

# fmt: off
FIRST_NAMES = (
    "James", "Mary", "Robert", "Patricia", "John", "Jennifer", "Michael", "Linda", "David",
    "Elizabeth", "William", "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Thomas", "Sarah",
    "Carlos", "Karen", "Daniel", "Lisa", "Matthew", "Nancy", "Anthony", "Betty", "Mark", "Sandra",
    "Luis", "Ashley", "Steven", "Emily", "Paul", "Kimberly", "Andrew", "Donna", "Joshua",
    "Michelle", "Kenneth", "Carol", "Kevin", "Amanda", "Brian", "Melissa", "José", "Deborah", "Zoë",
    "Stephanie", "Anaïs", "Rebecca", "Søren", "Laura", "Yuki", "Sharon", "Wei", "Cynthia", "Priya",
    "Amy", "Omar", "Fatima",
)
LAST_NAMES = (
    "Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "Rodriguez",
    "Martinez", "Hernandez", "Lopez", "Gonzalez", "Wilson", "Anderson", "Thomas", "Taylor", "Moore",
    "Jackson", "Martin", "Lee", "Perez", "Thompson", "White", "Harris", "Sanchez", "Clark",
    "Ramirez", "Lewis", "Robinson", "Walker", "Young", "Allen", "King", "Wright", "Scott", "Torres",
    "Nguyen", "Hill", "Flores", "Green", "Adams", "Nelson", "Baker", "Hall", "Rivera", "Campbell",
    "Mitchell", "Carter", "Roberts", "O'Brien", "O'Connor", "Müller", "Schröder", "Dvořák",
    "Ivanov", "Tanaka", "Singh", "Patel", "Kim", "Chen", "Yılmaz", "Nowak", "Rossi", "Dubois",
    "Jensen",
)
STREETS = (
    "Main", "Oak", "Pine", "Maple", "Cedar", "Elm", "Washington", "Lake", "Hill", "Park", "Walnut",
    "Spring", "North", "Ridge", "Church", "River", "Sunset", "Mill",
)
STREET_KINDS = ("St", "Ave", "Rd", "Blvd", "Ln", "Street", "Dr")
MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "post.example.org")
# city, state, country, zip code
ABROAD = (
    ("Toronto", "ON", "Canada", "M5V 2T6"), ("Vancouver", "BC", "Canada", "V6B 1A1"),
    ("Montréal", "QC", "CA", "H2Y 1C6"), ("London", None, "United Kingdom", "SW1A 1AA"),
    ("Leeds", None, "UK", "LS1 4AP"), ("Berlin", None, "Germany", "10115"),
    ("München", "Bayern", "DE", "80331"), ("Paris", None, "France", "75001"),
    ("Sydney", "NSW", "Australia", "2000"),
)
# city, state, its name, first three digits of the zip code
AT_HOME = (
    ("Los Angeles", "CA", "California", 900), ("San Francisco", "CA", "California", 941),
    ("San Diego", "CA", "California", 921), ("New York", "NY", "New York", 100),
    ("Buffalo", "NY", "New York", 142), ("Houston", "TX", "Texas", 770),
    ("Austin", "TX", "Texas", 787), ("Dallas", "TX", "Texas", 752), ("Miami", "FL", "Florida", 331),
    ("Orlando", "FL", "Florida", 328), ("Chicago", "IL", "Illinois", 606),
    ("Philadelphia", "PA", "Pennsylvania", 191), ("Phoenix", "AZ", "Arizona", 850),
    ("Columbus", "OH", "Ohio", 432), ("Seattle", "WA", "Washington", 981),
    ("Denver", "CO", "Colorado", 802), ("Boston", "MA", "Massachusetts", 21),
    ("Portland", "OR", "Oregon", 972), ("Atlanta", "GA", "Georgia", 303),
    ("Raleigh", "NC", "North Carolina", 276), ("Detroit", "MI", "Michigan", 482),
    ("Minneapolis", "MN", "Minnesota", 554), ("Las Vegas", "NV", "Nevada", 891),
    ("St. Louis", "MO", "Missouri", 631),
)
COUNTRY_SPELLINGS = ("United States",) * 14 + ("USA",) * 4 + ("US", "usa")
# fmt: on
