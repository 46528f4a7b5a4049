import EdgeServe

await EdgeProgram.main()
