"""The materials of a drawn person, and what the four surface coordinates mean for each.

| material   | coords                                                                                         |
| ---------- | ---------------------------------------------------------------------------------------------- |
| `FACE`     | u, v in the face texture                                                                       |
| `SKIN`     | -, -, -, openness to light in [0, 1]                                                           |
| `EYE_*`    | position along the opening in [0, 1], cm below the upper lid, cm above the lower lid           |
| `MOUTH`    | position along the opening in [0, 1], cm below the upper lip, cm above the lower lip           |
| `HAIR`     | u across and v along the strands, cover in [0, 1] (drawn where above the cut), openness         |
| `CLOTH`    | u, v in the pattern, cm from the neckline (cut where negative), openness                        |
| `FRAME`    | -                                                                                              |
| `LASH`     | -                                                                                              |
"""

FACE, SKIN, EYE_RIGHT, EYE_LEFT, MOUTH, HAIR, CLOTH, FRAME, LASH = range(9)
NUM_MATERIALS = 9
