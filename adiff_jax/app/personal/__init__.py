"""A bundle of one's own: the models of a bundle, trained further on clips of one person.

clips ──cut in time──► training ──► records ──► decoder ──► sDiT ──► bundle
                 ├───► held out: after every few steps, is it still getting better?
                 └───► test: is it better than without, and than repeating what was seen?
"""
