"""How this project's pages look, and the parts that they are made of.

`style.css` is the one style sheet: of the inspection of data, the report of a run, and the page of a model.
"""
