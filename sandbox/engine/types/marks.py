"""Marks: what a kind notices about the text of a cell. Some are codes of warnings, others only tell together."""

DIGITS_LOST = "digits_lost"
SCIENTIFIC = "scientific"
ZERO_GROUP = "zero_group"
OPTION_REPEATED = "option_repeated"
CHECKBOX_WORD = "checkbox_word"

DECIMAL_COMMA = "decimal comma"
DECIMAL_POINT = "decimal point"
GROUP = "group"
"""One to three digits, a comma or point, and three digits: thousands, or a decimal with three digits."""

FLOAT = "float"
NOT_FLOAT = "not a float"

DAY_FIRST = "day first"
MONTH_FIRST = "month first"
DATE_GUESS = "either order"
BOTH_ORDERS = "both orders"
