"""What a folder of images holds, and what is wrong with it, before anything is trained on it.

`facts` looks at every file once, `inspection` counts and groups what it saw, `findings` says what follows,
`contact_sheet` and `page` show them. Nothing in the folder is changed.
"""
